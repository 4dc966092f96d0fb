# The app is frozen while somebody works on a replica: it is relied on and waited for no more all the same, or every write would
# stand still until the freeze is over. A definition without the database is refused for as long as its primary waits.
mesh 5 voters 3 regions
app shop sync=1 stacks=east,west,north
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for west
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

freeze a1 shop 3600s work on a replica
sever shop west
run 30s
state
----
  100.068 a1    learns that operator froze shop for 1 h: work on a replica (and a4 a3 a2 a5)
  107.898 a2    learns that no replica of shop is relied on (and a5 a3 a1 a4)
  113.076 *     wait for replicas with 1.1.4 of a2: waits for {"copy in north"}
  116.064 a5    refuses 11.bfcd for shop: evidence: db of north (copy in north) was not seen to be waited for (and a3 a1 a4)
  116.675 a2    learns that shop relies on db of north (and a5 a3 a1 a4)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for north
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1

apply a1 shop databases=none
run 5s
----
  130.034 a1    answers: Refused("it lacks db, whose primary waits for replicas: apply `sync = 0` first, and this once it waits for nobody")

apply a1 shop sync=0
run 30s
apply a1 shop databases=none
until shop settled within 30s
run 10s
state
----
  135.068 a1    learns that no replica of shop is relied on (and a4 a3 a2 a5)
  135.068 a1    learns shop epoch 2 publishing at 15.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
  135.454 a3    learns shop epoch 2 publishing at 16.35dd: apply, active east, carried out by a3 (definition revision 2) (and a1 a4 a2 a5)
  135.495 *     follow with 2.1.4 of a3: follows east
  135.500 *     follow with 2.1.4 of a3: follows east
  135.593 a3    learns shop epoch 2 verifying at 17.35dd: apply, active east, carried out by a3 (definition revision 2) (and a1 a4 a2 a5)
  135.661 a3    learns shop epoch 2 idle at 18.35dd: apply, active east (definition revision 2) (and a1 a4 a2 a5)
  137.066 *     wait for replicas with 2.1.4 of a4: waits for {}
  165.068 a1    learns shop epoch 3 publishing at 19.41cd: apply, active east (definition revision 3) (and a4 a3 a2 a5)
  165.388 a1    learns shop epoch 3 publishing at 20.41cd: apply, active east, carried out by a1 (definition revision 3) (and a4 a3 a2 a5)
  165.456 a1    learns shop epoch 3 verifying at 21.41cd: apply, active east, carried out by a1 (definition revision 3) (and a4 a3 a2 a5)
  165.524 a1    learns shop epoch 3 idle at 22.41cd: apply, active east (definition revision 3) (and a4 a3 a2 a5)
shop: epoch 3 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1
