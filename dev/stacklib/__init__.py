"""The services of a development stack; dev/stack is the program.

core.py knows directories, ports and processes; each other file is one part: how
it is set up, started, asked whether it answers, and stopped.
"""
