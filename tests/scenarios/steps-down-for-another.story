# A set of three is asked for another primary, and elects somebody else than the operator wanted: the command says so. DNS
# follows the set all the same.
mesh 5 voters 3 regions
app shop engine=mongodb stacks=east,north,west
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

switchover a1 shop west
run 15s
state
----
  100.069 *     step down with 1.1.4 of a1: steps down
  102.179 a2    learns shop epoch 2 publishing at 5.bfcd: failover, active north, carried out by a2 (the primary of db is at north by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  102.318 a2    learns shop epoch 2 verifying at 6.bfcd: failover, active north, carried out by a2 (the primary of db is at north by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  102.457 a2    learns shop epoch 2 idle at 7.bfcd: failover, active north (the primary of db is at north by election 2 for 5 of 5 voters) (and a5 a3 a1 a4)
  106.002 a1    answers: Refused("the set was asked for another primary, and chose otherwise: the primary of db is at north by election 2 for 3 of 5 voters")
shop: epoch 2 failover idle, active north
  shop/east/db: Up, replica, timeline 2, streams
  shop/north/db: Up, primary, timeline 2
  shop/west/db: Up, replica, timeline 2, streams
