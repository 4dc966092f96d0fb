# The guard dies while it makes the old primary a replica again: the server is left stopped, which nobody would take for an old
# primary any more. The guard knows that it began, and begins again once it is back.
mesh 5 voters 3 regions 2 rejoining guards
app shop database guards=a6,a7
start
stack shop east dark
until shop settled within 60s
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a6 a2 a5 a7)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a6 a2 a5 a7)
  109.718 a5    holds shop/east for standing: 2 of 5 voters see it down (and a2 a7 a3 a1 a4 a6)
  109.718 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a7 a3 a1 a4 a6)
  109.826 a2    holds shop/east for down: 3 of 5 voters see it down (and a5 a7 a3 a1 a4 a6)
  109.826 a2    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a5 a7 a3 a1 a4 a6)
  110.088 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a6 a2 a5 a7)
  110.233 a7    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent is an observer (and a6)
  110.379 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
  110.417 a6    has shut shop/east
  110.999 a2    learns shop epoch 2 promoting at 8.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
  111.069 a7    holds open shop/west
  111.116 *     promote with 2.1.3 of a7: promoted to timeline 2
  111.280 a2    learns shop epoch 2 publishing at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
  111.420 a2    learns shop epoch 2 verifying at 10.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
  111.739 a2    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stack shop east up
run 5s
kill a6
run 30s
state
----
  111.777 *     shop/east: web is Up
  113.811 *     shop/east/db is stopped, to be rewound
  115.417 a6    failed for shop with 2.1.1: no answer within 5000 ms
  116.777 a6    is killed
shop: epoch 2 failover idle, active west
  shop/east/db: Refusing, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

# Somebody is at work: nothing is done to a server that is stopped.
freeze a1 shop 100s
restart a6
run 60s
state
----
  146.845 a1    learns that operator froze shop for 100 s:  (and a4 a6 a3 a2 a5 a7)
  178.778 a6    abstains: is an observer
shop: epoch 2 failover idle, active west
  shop/east/db: Refusing, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

run 60s
state
----
  247.814 *     shop/east/db is stopped, to be rewound
  250.266 *     shop/east/db is rewound to follow shop/west/db
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

# From here on it is a replica like any other: whoever stops it has a reason.
database shop east down
run 120s
state
----
  266.777 *     shop/east/db is Refusing
shop: epoch 2 failover idle, active west
  shop/east/db: Refusing, replica, timeline 2, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
