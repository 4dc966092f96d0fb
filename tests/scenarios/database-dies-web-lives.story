# SCENARIOS 10, the other way round: the database of the active stack is dead, and its web answers. The standby's database
# is promoted, and DNS moves along: a web without its database serves nobody.
mesh 5 voters 3 regions
app shop synchronous
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

database shop east dark
until shop settled within 90s
state
----
  100.000 *     shop/east/db is Dark
  109.611 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.611 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  109.794 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  109.794 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.913 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  111.017 a4    holds shop/east for down: 4 of 5 voters see it down (and a1 a3 a5)
  111.060 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.060 a2    failed for shop with 2.1.1: no answer within 5000 ms
  116.326 a2    learns shop epoch 2 promoting at 7.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.379 *     promote with 2.1.3 of a2: promoted to timeline 2
  116.541 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.680 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  116.819 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2

# The old primary comes back and stays closed: it holds the older timeline, and whoever holds the app does not look back.
stack shop east up
run 60s
state
----
  116.857 *     shop/east: web is Up
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
