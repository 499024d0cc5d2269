"""The services of a development stack; dev/stack is the program.

core.py knows directories, settings and what a part is, process.py who is whose,
ports.py who listens; each other file is one part: how it is set up, started,
asked whether it answers, and stopped.
"""
