# Whoever carries out `fencing` dies before its action has left: another finishes.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

trap fencing before
stack shop east dark
until shop settled within 90s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.818 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  109.818 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.072 a5    holds shop/east for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  110.072 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  110.142 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  110.142 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a1 a4 a2 a5)
  110.293 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a1 a4 a2 a5)
  110.886 a3    learns shop epoch 2 fencing at 6.35dd: failover, active east, carried out by a3 (database of east down for 3 of 5 voters in 3 regions) (and a1 a4 a2 a5)
  110.886 a3    is killed
  114.073 a5    learns shop epoch 2 fencing at 7.10df: failover, active east, carried out by a5 (database of east down for 3 of 5 voters in 3 regions) (and a2 a1 a4)
  119.073 a5    failed for shop with 2.1.1: no answer within 5000 ms
  119.225 a5    learns shop epoch 2 promoting at 8.10df: failover, active east, carried out by a5 (database of east down for 3 of 5 voters in 3 regions) (and a2 a1 a4)
  119.247 *     promote with 2.1.3 of a5: promoted to timeline 2
  119.419 a5    learns shop epoch 2 publishing at 9.10df: failover, active west, carried out by a5 (database of east down for 3 of 5 voters in 3 regions) (and a2 a1 a4)
  119.459 *     publish with 2.1.4 of a5: names west
  119.644 a5    learns shop epoch 2 verifying at 10.10df: failover, active west, carried out by a5 (database of east down for 3 of 5 voters in 3 regions) (and a2 a1 a4)
  119.797 a5    learns shop epoch 2 idle at 11.10df: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a2 a1 a4)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
