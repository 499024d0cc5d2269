"""Bulk traffic: many made-up visitors of the shop, as batches by HTTP.

One thread, one connection. A batch that gets no answer, or 503, is sent again
with the same event_ids, as a client should.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import urllib.parse
import uuid
from typing import Any

PAUSE = 0.25            # seconds between two batches
MOST = 500              # events in a batch; after a stall the rest is left out
VISITORS = 50           # at a time
WRONG = 0.01            # share of events that break the schema on purpose

PRODUCTS = [(f"kk-{n}", name, price) for n, (name, price) in enumerate((
    ("Bowl", 24.0), ("Cup", 18.5), ("Plate", 29.9), ("Tea pot", 64.0),
    ("Jar", 39.9), ("Carafe", 49.0)), 901)]


class BulkVisitor:
    """Someone with a session, who looks at products and sometimes buys."""

    def __init__(self) -> None:
        self.session = str(uuid.uuid4())
        self.user = f"user-{random.randrange(10000)}" \
            if random.random() < 0.4 else None
        self.steps = random.randrange(3, 20)

    def event(self) -> dict[str, Any]:
        event_type = random.choices(
            ("page_view", "product_view", "add_to_cart", "purchase"),
            (50, 35, 12, 3))[0]
        fields = FIELDS[event_type]()
        if random.random() < WRONG:
            fields["page_url"] = 42
        self.steps -= 1
        event = {"event_type": event_type, "event_id": str(uuid.uuid4()),
                 "timestamp": int(time.time() * 1000),
                 "session_id": self.session, "fields": fields}
        if self.user is not None:
            event["user_id"] = self.user
        return event


def page_view() -> dict[str, Any]:
    page = random.choice(("/", "/#drink", "/#eat", "/#cart"))
    return {"page_url": page, "page_title": "Shop"}


def product_view() -> dict[str, Any]:
    product, name, price = random.choice(PRODUCTS)
    return {"product_id": product, "product_name": name, "price": price}


def add_to_cart() -> dict[str, Any]:
    return {**product_view(), "quantity": random.randrange(1, 4)}


def purchase() -> dict[str, Any]:
    bought = random.sample(PRODUCTS, random.randrange(1, 4))
    return {"order_id": f"B-{random.randrange(10**9)}",
            "total": round(sum(price for _, _, price in bought), 2),
            "currency": "EUR", "item_count": len(bought),
            "product_ids": [product for product, _, _ in bought]}


FIELDS = {"page_view": page_view, "product_view": product_view,
          "add_to_cart": add_to_cart, "purchase": purchase}


class Bulk(threading.Thread):
    """Sends `rate` events a second until stopped; counts what it was told."""

    def __init__(self, url: str, rate: int) -> None:
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        self.rate = rate
        self.ending = threading.Event()
        self.accepted = 0
        self.rejected = 0
        self.retries = 0
        self.visitors = [BulkVisitor() for _ in range(VISITORS)]

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        made, begin = 0, time.monotonic()
        batch: list[dict[str, Any]] = []
        while not self.ending.wait(PAUSE):
            if not batch:
                due = int((time.monotonic() - begin) * self.rate) - made
                batch = [self.next_event() for _ in range(min(due, MOST))]
                made += due
            if batch and self.send(connection, batch):
                batch = []
        connection.close()

    def next_event(self) -> dict[str, Any]:
        n = random.randrange(len(self.visitors))
        if self.visitors[n].steps == 0:
            self.visitors[n] = BulkVisitor()
        return self.visitors[n].event()

    def send(self, connection: http.client.HTTPConnection,
             batch: list[dict[str, Any]]) -> bool:
        """Posts a batch; False if it must be sent again."""
        try:
            connection.request("POST", "/track", json.dumps({"batch": batch}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.retries += 1
            return False
        if answer.status == 503:
            self.retries += 1
            return False
        rejected = 0
        if answer.status in (200, 422):
            rejected = len(json.loads(body)["rejected"])
        elif answer.status != 204:
            rejected = len(batch)
        self.rejected += rejected
        self.accepted += len(batch) - rejected
        return True

    def stop(self) -> None:
        self.ending.set()
        self.join(15)
