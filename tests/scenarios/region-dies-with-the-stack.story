# The region that holds the active stack and two voters dies at once: the last words of the dead hold nobody up.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

kill a4 a5
stack shop east dark
until shop settled within 30s
state
----
  100.000 a4    is killed (and a5)
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  105.752 a2    learns that answers of shop are kept for 5 s at most (and a3 a1)
  105.783 *     publish with 1.1.4 of a2: names east
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a2)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a2)
  109.818 a2    holds shop/east for standing: 2 of 5 voters see it down (and a3 a1)
  109.826 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a1)
  110.100 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a2)
  110.100 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a1 a2)
  112.046 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a3 a1)
  117.046 a2    failed for shop with 2.1.1: no answer within 5000 ms
  117.287 a2    learns shop epoch 2 promoting at 8.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a3 a1)
  117.297 *     promote with 2.1.3 of a2: promoted to timeline 2
  117.474 a2    learns shop epoch 2 publishing at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a3 a1)
  117.525 *     publish with 2.1.4 of a2: names west
  117.699 a2    learns shop epoch 2 verifying at 10.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a3 a1)
  117.852 a2    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a3 a1)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
