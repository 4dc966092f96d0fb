# Where people decide, the mesh does not follow a set by itself. A switchover to where the set leads from already loses
# nothing, though nothing is received there: DNS goes.
mesh 5 voters 3 regions
app shop engine=mongodb mode=approve
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

elect shop west
run 20s
switchover a1 shop west
until shop settled within 30s
state
----
  100.000 *     shop/west/db is elected by its set
  120.161 a1    learns shop epoch 2 publishing at 5.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  120.230 a1    learns shop epoch 2 verifying at 6.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  120.298 a1    learns shop epoch 2 idle at 7.41cd: switchover, active west (switchover asked for by operator) (and a4 a3 a2 a5)
shop: epoch 2 switchover idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
