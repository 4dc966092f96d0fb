# Nobody but its guard reaches a database: each agent asks that on their own link, and what it says is the agent's own look. What
# dies is moved away from, and who merely does not hear a guard is alone with that (PROTOCOL.md B.5).
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7 view=guard
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

# Two voters hear the guard no more: they see the database down, and are too few.
part a1 a6
part a2 a6
run 20s
why a3 shop
----
  110.294 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a7 a3 a1 a4)
  110.294 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a7 a3 a1 a4)
  112.377 a1    holds shop/east for standing: 2 of 5 voters see it down (and a4 a3 a2 a5 a7)
  112.377 a1    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5 a7)
a3 on shop: east stands: 2 of 5 voters see it down, 3 are needed

heal
run 20s
why a3 shop
----
  120.000 *     everything is well again
  120.000 *     shop/east: web is Up
  120.000 *     shop/west: web is Up
  120.022 a6    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a3 a2 a5 a7)
  120.022 a6    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a3 a2 a5 a7)
  120.285 a6    holds shop/east for standing: 0 of 5 voters see it down (and a2 a5 a7 a3 a1 a4)
a3 on shop: east stands: nobody whose word counts sees it down

# Its guard starts anew, which takes less than a window.
kill a6
run 2s
restart a6
run 10s
why a3 shop
----
  140.000 a6    is killed
  142.534 a6    holds open shop/east
a3 on shop: east stands: nobody whose word counts sees it down

# The database dies, and its guard lives on: that says so.
database shop east down
until shop settled within 60s
state
why a3 shop
----
  152.000 *     shop/east/db is Refusing
  159.621 a4    holds shop/east for standing: 1 of 5 voters see it down (and a1 a6 a3 a2 a5 a7)
  159.621 a4    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a6 a3 a2 a5 a7)
  159.757 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a6 a2 a5 a7)
  159.757 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a6 a2 a5 a7)
  159.851 a2    holds shop/east for down: 3 of 5 voters see it down (and a5 a7 a1 a4 a6 a3)
  159.851 a7    leaves shop alone: database of east down for 3 of 5 voters in 3 regions; others will propose: this agent is an observer
  159.863 a6    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent started too recently
  159.885 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a6 a5 a7)
  159.889 a6    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent started too recently
  159.900 a5    holds shop/east for down: 5 of 5 voters see it down
  159.900 a7    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent is an observer
  159.996 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 4 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  160.034 a6    has shut shop/east
  160.055 *     fence with 2.1.1 of a6 not: connection refused
  160.067 a6    failed for shop with 2.1.1: connection refused (and a2)
  160.242 a2    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (database of east down for 4 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  160.312 a7    holds open shop/west
  160.349 *     promote with 2.1.3 of a7: promoted to timeline 2
  160.500 a2    learns shop epoch 2 publishing at 7.bfcd: failover, active west, carried out by a2 (database of east down for 4 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  160.639 a2    learns shop epoch 2 verifying at 8.bfcd: failover, active west, carried out by a2 (database of east down for 4 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  160.882 a2    learns shop epoch 2 idle at 9.bfcd: failover, active west (database of east down for 4 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
shop: epoch 2 failover idle, active west
  shop/east/db: Refusing, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
a3 on shop: west stands: nobody whose word counts sees it down
  not ready: east: db long enough up for 0 of 5 voters, 3 are needed
  not ready: east: db is no replica
