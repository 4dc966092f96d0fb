# The voters' majority is gone, and one candidate's guard with it: nobody knows what that one does, so the primary shuts.
mesh 5 voters 3 regions 3 guards
app shop synchronous stacks=east,west,north guards=a6,a7,a8
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/north/db: Up, replica, timeline 1, streams, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stop a1 a2 a3 a8
run 30s
state
----
  100.000 a1    is stopped (and a2 a3 a8)
  103.071 a6    abstains: hears no majority of voters (and a7 a4 a5)
  107.821 a6    has no lease any more on shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is shut
  shop/north/db: Up, replica, timeline 1, streams, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

continue a1 a2 a3 a8
run 15s
state
----
  130.000 a1    goes on (and a2 a3 a8)
  130.000 a1    abstains: was not scheduled in time (and a2 a3 a8)
  130.071 a6    abstains: is an observer (and a7 a8)
  130.072 a6    holds open shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/north/db: Up, replica, timeline 1, streams, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
