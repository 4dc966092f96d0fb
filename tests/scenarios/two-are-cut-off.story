# Two of five are cut off from the others, then the active stack dies: the three decide.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

cut a1 a4
run 10s
----
  103.019 a1    abstains: hears no majority of voters (and a4)

stack shop east dark
run 60s
why a1 shop
state
----
  110.000 *     shop/east: web is Dark
  110.000 *     shop/east/db is Dark
  115.595 a2    learns that answers of shop are kept for 5 s at most (and a5 a3)
  115.634 *     publish with 1.1.4 of a2: names east
  119.619 a3    holds shop/east for standing: 1 of 5 voters see it down (and a2 a5)
  119.619 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a2 a5)
  119.864 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3)
  119.864 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3)
  119.981 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3)
  119.981 a5    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a2 a3)
  120.152 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a2 a5)
  121.221 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3)
  126.221 a2    failed for shop with 2.1.1: no answer within 5000 ms
  126.515 a2    learns shop epoch 2 promoting at 8.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3)
  126.560 *     promote with 2.1.3 of a2: promoted to timeline 2
  126.723 a2    learns shop epoch 2 publishing at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3)
  126.749 *     publish with 2.1.4 of a2: names west
  126.893 a2    learns shop epoch 2 verifying at 10.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3)
  127.032 a2    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a5 a3)
  143.066 a1    leaves shop with 1.1.4 to others: is not ours to write over
a1 on shop: east stands: nobody whose word counts sees it down; no quorum: 2 of 5 voters are heard, 3 are needed; nothing will be decided
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
  not ready: west: db long enough up for 0 of 5 voters, 3 are needed
  not ready: west: db was never seen
  not ready: no quorum: 2 of 5 voters are heard, 3 are needed
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2

# Once healed, the two learn what was decided.
heal
until shop settled within 30s
state
----
  170.000 *     everything is well again
  170.000 *     shop/east: web is Up
  170.000 *     shop/west: web is Up
  170.188 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4)
  170.188 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4)
  170.188 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1)
  170.188 a4    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed
  170.458 a4    holds shop/east for standing: 0 of 5 voters see it down (and a1)
  171.038 a4    learns that answers of shop are kept for 5 s at most (and a1)
  171.038 a4    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a1)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
