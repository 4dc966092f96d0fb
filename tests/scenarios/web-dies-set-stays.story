# The web of the active stack dies in mode approve, and the set's primary is well there: DNS stays with the primary, and what a
# person can do is said. Once the set has elected another, DNS follows a person's word. Forcing moves nothing that the set has not.
mesh 5 voters 3 regions
app shop engine=mongodb mode=approve
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

web shop east dark
run 30s
why a1 shop
failover a1 shop west accept-loss
run 2s
elect shop west
run 5s
approve a1 shop
until shop settled within 60s
state
----
  100.000 *     shop/east: web is Dark
  109.601 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.601 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.844 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  109.844 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.054 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.054 a5    leaves shop alone: the web of east is down, and the primary is there still: let it step down, and DNS follows (and a2 a3 a1 a4)
  110.089 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  110.593 a4    holds shop/east for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  130.076 a1    answers: Refused("the primary of db is at east by election 1 for 5 of 5 voters: let it step down, and DNS follows")
  132.000 *     shop/west/db is elected by its set
  132.993 a2    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 1 of 5 voters, 3 are needed (and a4 a3)
  132.994 a5    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 2 of 5 voters, 3 are needed (and a1 a2 a3 a4)
  133.028 a3    leaves shop alone: would move to west (the primary of db is at west by election 2 for 3 of 5 voters), and waits for `quorate approve` (and a1 a4 a2 a5)
  133.031 a1    leaves shop alone: would move to west (the primary of db is at west by election 2 for 4 of 5 voters), and waits for `quorate approve` (and a4 a3 a2 a5)
  133.045 a3    leaves shop alone: would move to west (the primary of db is at west by election 2 for 5 of 5 voters), and waits for `quorate approve` (and a1 a4 a2 a5)
  137.110 a1    learns shop epoch 2 publishing at 6.41cd: approved failover, active west, carried out by a1 (the primary of db is at west by election 2 for 5 of 5 voters, approved by operator) (and a4 a3 a2 a5)
  137.178 a1    learns shop epoch 2 verifying at 7.41cd: approved failover, active west, carried out by a1 (the primary of db is at west by election 2 for 5 of 5 voters, approved by operator) (and a4 a3 a2 a5)
  137.246 a1    learns shop epoch 2 idle at 8.41cd: approved failover, active west (the primary of db is at west by election 2 for 5 of 5 voters, approved by operator) (and a4 a3 a2 a5)
a1 on shop: the web of east is down, and the primary is there still: let it step down, and DNS follows; it is not asked to step down: in this mode `quorate switchover` does
shop: epoch 2 approved failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
