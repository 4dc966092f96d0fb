# Whoever carries out `fencing` dies after its action has left: another finishes.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

trap fencing after
stack shop east dark
until shop settled within 90s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  105.471 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  105.484 *     publish with 1.1.4 of a2: names east
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  109.818 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a4 a1 a3)
  109.826 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5)
  109.854 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  110.021 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  110.021 a2    is killed
  113.670 a4    learns shop epoch 2 fencing at 7.89d0: failover, active east, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a1 a3 a5)
  118.670 a4    failed for shop with 2.1.1: no answer within 5000 ms
  119.017 a4    learns shop epoch 2 promoting at 8.89d0: failover, active east, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a1 a3 a5)
  119.102 *     promote with 2.1.3 of a4: promoted to timeline 2
  119.199 a4    learns shop epoch 2 publishing at 10.89d0: failover, active west, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a1 a3 a5)
  119.253 *     publish with 2.1.4 of a4: names west
  119.360 a4    learns shop epoch 2 verifying at 11.89d0: failover, active west, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a1 a3 a5)
  119.428 a4    learns shop epoch 2 idle at 12.89d0: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a1 a3 a5)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
