# Whoever carries out `publishing` dies after its action has left: another finishes, and DNS changes once.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

trap publishing after
stack shop east dark
until shop settled within 90s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  105.471 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  105.471 a2    is killed
  105.484 *     publish with 1.1.4 of a2: names east
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a5)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a5)
  109.837 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1 a3 a5)
  110.072 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a3 a1 a4)
  110.107 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a5)
  110.107 a3    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a1 a4 a5)
  110.635 a4    holds shop/east for down: 4 of 5 voters see it down (and a1 a3 a5)
  111.088 a1    learns shop epoch 2 fencing at 6.41cd: failover, active east, carried out by a1 (database of east down for 3 of 5 voters in 3 regions) (and a4 a3 a5)
  116.088 a1    failed for shop with 2.1.1: no answer within 5000 ms
  116.206 a1    learns shop epoch 2 promoting at 7.41cd: failover, active east, carried out by a1 (database of east down for 3 of 5 voters in 3 regions)
  116.264 *     promote with 2.1.3 of a1: promoted to timeline 2
  116.366 a1    learns shop epoch 2 publishing at 9.41cd: failover, active west, carried out by a1 (database of east down for 3 of 5 voters in 3 regions) (and a4 a3 a5)
  116.393 *     publish with 2.1.4 of a1: names west
  116.484 a1    learns shop epoch 2 verifying at 10.41cd: failover, active west, carried out by a1 (database of east down for 3 of 5 voters in 3 regions) (and a4 a3 a5)
  116.694 a1    learns shop epoch 2 idle at 11.41cd: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a4 a3 a5)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
