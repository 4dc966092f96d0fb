# A primary dies with writes that no replica ever got, and comes back after the failover: its guard, which goes by what a
# quorum confirms, has it rewound. It follows the new one, and what it alone had is named.
mesh 5 voters 3 regions 2 rejoining guards
app shop database guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stack shop east dark
until shop settled within 60s
state
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
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

stack shop east up
run 30s
state
----
  111.777 *     shop/east: web is Up
  113.811 *     shop/east/db is stopped, to be rewound
  115.417 a6    failed for shop with 2.1.1: no answer within 5000 ms
  123.585 *     shop/east/db is rewound to follow shop/west/db
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

# East is at home: the app goes back once that has been well for as long as was asked for, and not before.
failback a1 shop east 1800s
run 70s
failback a1 shop east 60s
run 30s
state
----
  141.777 a1    answers: Refused("east has been well for 18 s, and 30 min are asked for")
  211.942 a1    learns shop epoch 3 fencing at 12.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a6 a3 a2 a5 a7)
  211.980 a7    has shut shop/west
  212.121 *     fence with 3.1.1 of a7: read-only, sessions ended
  212.265 a1    learns shop epoch 3 promoting at 13.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a6 a3 a2 a5 a7)
  212.300 a6    holds open shop/east
  212.376 *     promote with 3.1.3 of a6: promoted to timeline 3
  212.462 a1    learns shop epoch 3 publishing at 14.41cd: switchover, active east, carried out by a1 (switchover asked for by operator) (and a4 a6 a3 a2 a5 a7)
  212.530 a1    learns shop epoch 3 verifying at 15.41cd: switchover, active east, carried out by a1 (switchover asked for by operator) (and a4 a6 a3 a2 a5 a7)
  212.599 a1    learns shop epoch 3 idle at 16.41cd: switchover, active east (switchover asked for by operator) (and a4 a6 a3 a2 a5 a7)
  214.706 *     shop/west/db is stopped, to be rewound
  223.488 *     shop/west/db is rewound to follow shop/east/db
shop: epoch 3 switchover idle, active east
  shop/east/db: Up, primary, timeline 3, its door is open
  shop/west/db: Up, replica, timeline 3, streams, its door is shut
