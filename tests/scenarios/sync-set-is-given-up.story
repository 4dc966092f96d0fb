# Nobody is to be waited for any more: nobody is relied on, and the primary is told.
mesh 5 voters 3 regions
app shop sync=1 stacks=east,west,north
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for west
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

apply a1 shop sync=0
run 30s
state
----
  100.068 a1    learns that no replica of shop is relied on (and a4 a3 a2 a5)
  100.068 a1    learns shop epoch 2 publishing at 9.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
  100.208 a1    learns shop epoch 2 publishing at 10.41cd: apply, active east, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  100.221 *     follow with 2.1.4 of a1: follows east
  100.245 *     follow with 2.1.4 of a1: follows east
  100.326 a1    learns shop epoch 2 verifying at 11.41cd: apply, active east, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  100.395 a1    learns shop epoch 2 idle at 12.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
  101.072 *     wait for replicas with 2.1.4 of a4: waits for {}
shop: epoch 2 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams
