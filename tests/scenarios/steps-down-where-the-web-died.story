# The web of the active stack dies, and the set's primary is well there: one agent asks it to step down, and DNS follows to where
# the set elects. While nobody could take its place, it is not asked.
mesh 5 voters 3 regions
app shop engine=mongodb cooldown=300s
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

database shop west dark
web shop east dark
run 30s
why a1 shop
----
  100.000 *     shop/west/db is Dark
  100.000 *     shop/east: web is Dark
  109.568 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.568 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.880 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  109.880 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.093 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.093 a5    leaves shop alone: the web of east is down, and the primary is there still: let it step down, and DNS follows (and a2 a3 a1 a4)
  110.147 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  110.672 a4    holds shop/east for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
a1 on shop: the web of east is down, and the primary is there still: let it step down, and DNS follows; it is not asked to step down: another agent does

database shop west up
until shop settled within 60s
run 60s
state
----
  130.000 *     shop/west/db is Up
  130.504 *     step down with 1.1.4 of a2: steps down
  131.010 a5    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 1 of 5 voters, 3 are needed (and a3 a1 a2 a4)
  131.994 a5    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 2 of 5 voters, 3 are needed (and a1 a2 a3 a4)
  132.187 a2    learns shop epoch 2 publishing at 5.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  132.326 a2    learns shop epoch 2 verifying at 6.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  132.465 a2    learns shop epoch 2 idle at 7.bfcd: failover, active west (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
