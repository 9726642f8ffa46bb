"""A booking desk: one agent, a user who asks for one trip after the other."""

from __future__ import annotations

import json

from ..prose import Mint
from ..script import Script
from .pen import Pen, tool

_CITIES = ("Lisbon", "Oslo", "Athens", "Turin", "Ghent", "Porto", "Bergen", "Graz", "Cork", "Malaga")
_POLICY = """You work at the booking desk of an airline. Find the traveller's profile before you book anything.
State flight and price before you book and wait for the traveller's yes. Pay only with a payment method of the
profile. One booking at a time. Answer in the language of the traveller and name every number you rely on."""

TOOLS = (
    tool("desk.get_profile", "Return a traveller's profile.", traveller_id="Id of the traveller"),
    tool(
        "desk.search_flights",
        "Return flights of one day.",
        origin="City",
        destination="City",
        date="Day, ISO",
    ),
    tool("desk.get_fare_rules", "Return the rules of a fare.", fare_code="Code of the fare"),
    tool("desk.book_flight", "Book a flight.", flight="Number", payment_method="Id", traveller_id="Id"),
)


def desk(seed: int) -> Script:
    """Return a run at the desk."""
    mint = Mint(f"desk {seed}")
    pen = Pen(mint, "desk")
    traveller = mint.code_of("TRV")
    card = mint.code_of("CARD")
    task = f"Hello, my traveller id is {traveller}. I need a few trips booked."
    profile = {
        "traveller_id": traveller,
        "tier": "gold",
        "payment_method": card,
        "email": f"{traveller.lower()}@example.org",
    }
    pen.does(
        "desk.get_profile",
        {"traveller_id": traveller},
        json.dumps(profile),
        thinking="The profile comes first.",
    )
    pen.says(
        f"Welcome. I see the payment method {card} and the gold tier, mail goes to {profile['email']}. Where to?"
    )
    booked = [_trip(pen, mint, traveller, card) for _ in range(mint.randint(5, 9))]
    pen.hears("That is all, thank you.")
    pen.says("All trips are booked: " + ", ".join(booked) + ". Have a good journey.")
    agent = pen.agent(_POLICY, task, TOOLS)
    return Script("desk", task, (agent,), answer=pen.turns[-1].text)


def _trip(pen: Pen, mint: Mint, traveller: str, card: str) -> str:
    origin, destination = mint.sample(_CITIES, 2)
    day = mint.day()
    pen.hears(f"Please find me a flight from {origin} to {destination} on {day}.")
    flights = [
        {
            "flight": mint.code_of("HX", 5),
            "departs": mint.time(),
            "fare_code": mint.code_of("FARE"),
            "price": mint.amount(),
        }
        for _ in range(mint.randint(2, 3))
    ]
    best = min(flights, key=lambda one: float(one["price"]))
    pen.does(
        "desk.search_flights",
        {"origin": origin, "destination": destination, "date": day},
        json.dumps(flights),
    )
    rules = f"{best['fare_code']}: refund until {mint.day()} for a fee of {mint.amount(30, 90)}, one bag of 23 kg."
    pen.does(
        "desk.get_fare_rules",
        {"fare_code": best["fare_code"]},
        rules,
        text=f"{best['flight']} at {best['price']} is the cheapest of {len(flights)}; I look up its fare.",
    )
    pen.says(
        f"{best['flight']} leaves at {best['departs']} and costs {best['price']}. {rules} Shall I book it?"
    )
    pen.hears("Yes, please book it.")
    number = mint.code_of("BKG")
    pen.does(
        "desk.book_flight",
        {"flight": best["flight"], "payment_method": card, "traveller_id": traveller},
        json.dumps({"booking": number, "paid": best["price"]}),
    )
    pen.says(f"Booked: {number}, {best['price']} paid with {card}.")
    return number
