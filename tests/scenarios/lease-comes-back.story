# A fence that one of the three voters that are left accepted keeps the primary's lease away: that one grants nothing, and
# two are no majority. Its proposer is dead; the stack is up again, but of the three one is blind, so that nothing is clear
# to a majority. What can neither be completed nor is known to be chosen is taken back after ten seconds.
# (The standby's guard is dead, too: its word would have kept the door open.)
mesh 5 voters 5 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stack shop east dark
run 10.91s
part a1 a3
part a1 a4
part a1 a5
run 0.2s
kill a1 a5 a7
stack shop east up
blind a4 shop east
run 60s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.598 a1    holds shop/east for standing: 1 of 5 voters see it down (and a6 a3 a5 a4 a2 a7)
  109.598 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a6 a3 a5 a4 a2 a7)
  109.859 a2    holds shop/east for standing: 2 of 5 voters see it down (and a7 a4 a3 a1 a6 a5)
  109.885 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a7 a4 a3 a1 a6 a5)
  110.088 a5    holds shop/east for down: 3 of 5 voters see it down (and a3 a1 a6 a4 a2 a7)
  110.088 a5    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a3 a1 a6 a4 a2 a7)
  110.118 a3    holds shop/east for down: 4 of 5 voters see it down (and a4 a1 a6 a5 a2 a7)
  110.692 a4    holds shop/east for down: 5 of 5 voters see it down (and a3 a2 a7 a5 a1 a6)
  110.832 a6    leaves shop alone: database of east down for 3 of 5 voters in 3 regions; others will propose: this agent is an observer (and a7)
  110.931 a6    leaves shop alone: database of east down for 4 of 5 voters in 4 regions; others will propose: this agent is an observer (and a7)
  111.012 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 5 regions) (and a7 a4 a3 a1 a6 a5)
  111.050 a6    has shut shop/east
  111.110 a1    is killed (and a5 a7)
  111.110 *     shop/east: web is Up
  116.050 a6    failed for shop with 2.1.1: no answer within 5000 ms (and a2)
  141.836 a2    learns shop epoch 3 aborting at 18.bfcd: abort, active east, carried out by a2 (no longer clear: east stands: 1 of 5 voters see it down, 3 are needed) (and a4 a3 a6)
  141.898 *     unfence with 3.1.2 of a6: writable again
  141.950 a6    holds open shop/east
  142.062 a2    learns shop epoch 3 idle at 19.bfcd: abort, active east (no longer clear: east stands: 1 of 5 voters see it down, 3 are needed) (and a4 a3 a6)
shop: epoch 3 abort idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
