# A replica set elects another primary by itself, and nothing has failed: DNS moves with it, once a majority has logged in
# to the new primary and heard it say so. Nothing is fenced and nothing promoted. A web that is not up holds the move.
mesh 5 voters 3 regions
app shop engine=mongodb
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

elect shop west
until shop settled within 30s
state
----
  100.000 *     shop/west/db is elected by its set
  106.208 a2    learns shop epoch 2 publishing at 5.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  106.347 a2    learns shop epoch 2 verifying at 6.bfcd: failover, active west, carried out by a2 (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  106.486 a2    learns shop epoch 2 idle at 7.bfcd: failover, active west (the primary of db is at west by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2

web shop east dark
run 20s
elect shop east
run 20s
why a1 shop
web shop east up
until shop settled within 90s
state
----
  106.524 *     shop/east: web is Dark
  126.524 *     shop/east/db is elected by its set
  146.524 *     shop/east: web is Up
  207.202 a4    learns shop epoch 3 publishing at 8.89d0: failover, active east, carried out by a4 (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
  207.270 a4    learns shop epoch 3 verifying at 9.89d0: failover, active east, carried out by a4 (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
  207.338 a4    learns shop epoch 3 idle at 10.89d0: failover, active east (the primary of db is at east by election 3 for 5 of 5 voters) (and a1 a3 a2 a5)
a1 on shop: the primary of db is at east by election 3 for 5 of 5 voters, and east is not fit: web long enough up for 0 of 5 voters, 3 are needed
  not ready: east: web long enough up for 0 of 5 voters, 3 are needed
shop: epoch 3 failover idle, active east
  shop/east/db: Up, primary, timeline 3
  shop/west/db: Up, replica, timeline 3, streams
