# The active stack dies with the primary of a set. The set elects, and that alone is followed; until then nothing moves,
# because nobody else takes writes. The old primary comes back in a region cut off from its set and claims, by its old
# election, to be one still: the last election is right.
mesh 5 voters 3 regions
app shop engine=mongodb
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

stack shop east dark
run 30s
why a1 shop
elect shop west
until shop settled within 30s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.563 a3    leaves shop alone: nobody sees a primary of db (and a1 a4 a2 a5)
  109.818 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  110.072 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.072 a5    leaves shop alone: the web of east is down, and nobody sees a primary of db (and a2 a3 a1 a4)
  110.107 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  110.602 a4    holds shop/east for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  130.000 *     shop/west/db is elected by its set
  130.993 a2    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 1 of 5 voters, 3 are needed (and a4 a3)
  130.994 a5    leaves shop alone: the web of east is down, and the primary of db is at west by election 2 for 2 of 5 voters, 3 are needed (and a1 a2 a3 a4)
  131.187 a2    learns shop epoch 2 publishing at 5.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  131.326 a2    learns shop epoch 2 verifying at 6.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  131.465 a2    learns shop epoch 2 idle at 7.bfcd: failover, active west (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
a1 on shop: the web of east is down, and nobody sees a primary of db
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2

stack shop east up
run 20s
why a1 shop
state
----
  131.503 *     shop/east: web is Up
a1 on shop: west stands: nobody whose word counts sees it down
  not ready: east: web long enough up for 0 of 5 voters, 3 are needed
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
