# A stack is seen up again right after its guard has shut it: the decision is taken back, and so is the lease.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stack shop east dark
until shop fencing within 30s
stack shop east up
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
  110.344 *     shop/east: web is Up
  110.379 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a7 a3 a1 a4 a6)
  110.417 a6    has shut shop/east
  110.473 *     fence with 2.1.1 of a6: read-only, sessions ended
  110.999 a2    learns shop epoch 3 aborting at 8.bfcd: abort, active east, carried out by a2 (no longer clear: east stands: nobody whose word counts sees it down) (and a5 a7 a3 a1 a4 a6)
  111.052 *     unfence with 3.1.2 of a6: writable again
  111.071 a6    holds open shop/east
  111.235 a2    learns shop epoch 3 idle at 9.bfcd: abort, active east (no longer clear: east stands: nobody whose word counts sees it down) (and a5 a7 a3 a1 a4 a6)
  111.235 a2    holds shop/east for standing: 0 of 5 voters see it down (and a5 a7 a3 a1 a4 a6)
shop: epoch 3 abort idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
