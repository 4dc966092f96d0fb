# A definition is not changed while a failover is in progress.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

stack shop east dark
until shop fencing within 30s
apply a2 shop ttl=60
run 2s
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  110.072 a5    holds shop/east for standing: 2 of 5 voters see it down (and a2 a3 a1 a4)
  110.072 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  110.107 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  110.107 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a1 a4 a2 a5)
  110.351 a2    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a5 a3 a1 a4)
  110.602 a4    holds shop/east for down: 4 of 5 voters see it down (and a1 a3 a2 a5)
  110.738 a2    holds shop/east for down: 5 of 5 voters see it down (and a5 a3 a1 a4)
  111.086 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  111.156 a2    answers: Refused("epoch 2 is in progress (fencing)")

until shop settled within 60s
apply a2 shop ttl=60
run 2s
state
----
  116.086 a2    failed for shop with 2.1.1: no answer within 5000 ms
  116.232 a2    learns shop epoch 2 promoting at 8.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.252 *     promote with 2.1.3 of a2: promoted to timeline 2
  116.403 a2    learns shop epoch 2 publishing at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.458 *     publish with 2.1.4 of a2: names west
  116.626 a2    learns shop epoch 2 verifying at 10.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.871 a2    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  117.049 a2    learns shop epoch 3 publishing at 12.bfcd: apply, active west (definition revision 2) (and a5 a3 a1 a4)
  117.465 a3    learns shop epoch 3 publishing at 15.35dd: apply, active west, carried out by a3 (definition revision 2) (and a1 a4 a2 a5)
  117.520 *     publish with 3.1.4 of a3: names west
  117.601 a1    learns shop epoch 3 publishing at 16.41cd: apply, active west, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  117.640 *     publish with 3.1.4 of a1: was so already
  117.746 a1    learns shop epoch 3 verifying at 18.41cd: apply, active west, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  117.814 a1    learns shop epoch 3 idle at 19.41cd: apply, active west (definition revision 2) (and a4 a3 a2 a5)
shop: epoch 3 apply idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
