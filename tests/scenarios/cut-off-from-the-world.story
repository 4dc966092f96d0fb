# A majority of agents loses the world, and not the mesh: their canaries say so, and their word does not count.
# (SCENARIOS.md 2: who sees wrong is told apart from what is wrong.)
mesh 5 voters 3 regions 3 canaries
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

lose-the-world a1 a2 a3
run 60s
why a4 shop
state
----
  104.009 a3    abstains: reaches too few of its canaries (and a1 a2)
a4 on shop: east stands: nobody whose word counts sees it down
  not ready: west: web long enough up for 2 of 5 voters, 3 are needed
  not ready: west: db long enough up for 2 of 5 voters, 3 are needed
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

# The canaries of one region alone are gone: its voters are silent, and the others decide.
see
heal
silence-canaries a1 a4
run 60s
stack shop east dark
until shop settled within 60s
state
----
  160.000 *     everything is well again
  160.000 *     shop/east: web is Up
  160.000 *     shop/west: web is Up
  164.004 a4    abstains: reaches too few of its canaries
  220.000 *     shop/east: web is Dark
  220.000 *     shop/east/db is Dark
  229.893 a3    holds shop/east for standing: 1 of 5 voters see it down (and a5 a2 a1 a4)
  229.893 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a2 a1 a4)
  230.102 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  230.102 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  230.357 a2    holds shop/east for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  230.357 a2    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a5 a3 a1 a4)
  230.415 a2    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a5 a3 a1 a4)
  231.020 a1    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent reaches too few of its canaries (and a4)
  231.128 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  236.128 a2    failed for shop with 2.1.1: no answer within 5000 ms
  236.489 a2    learns shop epoch 2 promoting at 7.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  236.492 *     promote with 2.1.3 of a2: promoted to timeline 2
  236.668 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  236.807 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  237.053 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
