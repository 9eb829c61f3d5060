"""Makes strftime.tsv: what Python's datetime.strftime gives for many moments.

python3 strftime.py > strftime.tsv
"""

import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

FORMAT = "%A_%a_%w_%d_%B_%b_%m_%Y_%y_%H_%I_%p_%M_%S_%f_%j_%W_%Z"
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo",
    "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Auckland", "Africa/Lagos", "Europe/London",
]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

chance = random.Random(20)
moments = []
# The days around New Year, where %j and %W turn over.
for year in range(1971, 2037):
    for day in range(-2, 8):
        if chance.random() < 0.5:
            moments.append(datetime(year, 1, 1, 12, tzinfo=timezone.utc) + timedelta(days=day))
# Any moment, with microseconds.
for _ in range(400):
    moments.append(EPOCH + timedelta(microseconds=chance.randrange(2_114_000_000_000_000)))
# Noon and midnight, leap days, before the epoch.
for text in ["1999-12-31T23:59:59.999999", "2000-02-29T00:00:00", "2024-02-29T12:00:00", "1969-12-31T23:59:59",
             "2036-12-31T00:30:00", "2023-03-26T01:00:00", "2023-10-29T00:59:59", "2023-10-29T01:00:00"]:
    moments.append(datetime.fromisoformat(text).replace(tzinfo=timezone.utc))

print("# microseconds since the epoch, zone, " + FORMAT + " (made by strftime.py)")
for at in moments:
    zone = chance.choice(ZONES)
    micros = (at - EPOCH) // timedelta(microseconds=1)
    print(micros, zone, at.astimezone(ZoneInfo(zone)).strftime(FORMAT), sep="\t")
