# An app whose window is shorter than the five seconds that canaries may be silent otherwise: a majority loses the world, and
# nothing moves, for no canary answered since the stack began to fail.
mesh 5 voters 3 regions 3 canaries
app shop database window=2s
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

silence-canaries a1 a2 a3 a4
blind a1 a2 a3 a4 shop east
run 20s
why a5 shop
----
  101.995 a2    abstains: reaches too few of its canaries (and a4 a3 a1)
a5 on shop: east stands: nobody whose word counts sees it down
  not ready: west: web long enough up for 1 of 5 voters, 3 are needed
  not ready: west: db long enough up for 1 of 5 voters, 3 are needed

# The world is there again, and the stack dies in earnest: canaries answer, and hold up nothing.
heal
see
run 30s
stack shop east dark
until shop settled within 30s
state
----
  120.000 *     everything is well again
  120.000 *     shop/east: web is Up
  120.000 *     shop/west: web is Up
  150.000 *     shop/east: web is Dark
  150.000 *     shop/east/db is Dark
  151.547 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  151.547 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  151.839 a4    holds shop/east for standing: 2 of 5 voters see it down (and a3 a1 a2 a5)
  151.839 a4    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3)
  151.853 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a1 a4 a3)
  151.888 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a5)
  151.927 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a5)
  151.999 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 4 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  156.999 a2    failed for shop with 2.1.1: no answer within 5000 ms
  157.168 a2    learns shop epoch 2 promoting at 7.bfcd: failover, active east, carried out by a2 (database of east down for 4 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  157.188 *     promote with 2.1.3 of a2: promoted to timeline 2
  157.344 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (database of east down for 4 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  157.483 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (database of east down for 4 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  157.623 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (database of east down for 4 of 5 voters in 2 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
