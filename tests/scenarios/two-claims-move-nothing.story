# Two of five see that another stack leads; then two stacks claim to lead by one election. Neither moves anything, and what
# holds it is said. The next election is clear.
mesh 5 voters 3 regions
app shop engine=mongodb
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

hide a1 a2 a3 shop west
elect shop west
run 20s
why a4 shop
see
until shop settled within 30s
state
----
  100.000 *     shop/west/db is elected by its set
  120.244 a2    learns shop epoch 2 publishing at 5.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 3 of 5 voters) (and a5 a3 a1 a4)
  120.383 a2    learns shop epoch 2 verifying at 6.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 3 of 5 voters) (and a5 a3 a1 a4)
  120.522 a2    learns shop epoch 2 idle at 7.bfcd: failover, active west (the primary of db is at west by election 2 for 3 of 5 voters) (and a5 a3 a1 a4)
  120.522 a2    holds shop/west for standing: 1 of 5 voters see it down (and a5)
  120.522 a2    leaves shop alone: west stands: nobody whose word counts sees it down (and a5)
  120.525 a2    holds shop/west for standing: 0 of 5 voters see it down (and a5)
a4 on shop: the primary of db is at west by election 2 for 2 of 5 voters, 3 are needed
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2

claim shop east
run 20s
why a4 shop
elect shop east
until shop settled within 30s
state
----
  120.560 *     shop/east/db claims to be the primary, too
  140.560 *     shop/east/db is elected by its set
  146.195 a4    learns shop epoch 3 publishing at 8.89d0: failover, active east, carried out by a4 (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
  146.263 a4    learns shop epoch 3 verifying at 9.89d0: failover, active east, carried out by a4 (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
  146.331 a4    learns shop epoch 3 idle at 10.89d0: failover, active east (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
a4 on shop: east and west both claim to be the primary of db by election 2
shop: epoch 3 failover idle, active east
  shop/east/db: Up, primary, timeline 3
  shop/west/db: Up, replica, timeline 3, streams
