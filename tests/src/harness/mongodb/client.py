"""What a real client (pymongo) makes of a set: connects, writes, lets the primary step down, writes again.

Called with the members, a user and a password, and a file of authorities if TLS is to be spoken; says one line of JSON.
"""

import json
import sys
import time

from pymongo import MongoClient, version
from pymongo.errors import OperationFailure, PyMongoError

members, user, password = sys.argv[1:4]
protection = {"tls": True, "tlsCAFile": sys.argv[4]} if sys.argv[4:] else {}


def client(password):
    return MongoClient(
        f"mongodb://{members}/?replicaSet=rs0",
        username=user,
        password=password,
        authMechanism="SCRAM-SHA-256",
        serverSelectionTimeoutMS=10000,
        heartbeatFrequencyMS=500,
        **protection,
    )


def primary(it):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if it.primary:
            return "%s:%s" % it.primary
        time.sleep(0.05)
    raise SystemExit("no primary found")


said = {"version": version}
try:
    client(password + "!").admin.command("ping")
    said["wrong password"] = "taken"
except OperationFailure as error:
    said["wrong password"] = error.code

it = client(password)
said["before"] = primary(it)
it.shop.orders.insert_one({"row": 1})
it.admin.command("replSetStepDown", 60, secondaryCatchUpPeriodSecs=5)
until = time.monotonic() + 10
while time.monotonic() < until:
    try:
        it.shop.orders.insert_one({"row": 2})
        break
    except PyMongoError:
        time.sleep(0.05)
said["after"] = primary(it)
# Whoever stepped down is a secondary once the client has looked at it again.
until = time.monotonic() + 10
while not it.secondaries and time.monotonic() < until:
    time.sleep(0.05)
said["secondaries"] = sorted("%s:%s" % member for member in it.secondaries)
print(json.dumps(said))
