# A guard stands still for 45 seconds: its door shuts without it, and opens again once it goes on.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stop a6
run 9s
state
----
  100.000 a6    is stopped
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

run 36s
state
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

continue a6
run 5s
state
----
  145.000 a6    goes on
  145.000 a6    abstains: was not scheduled in time
  145.000 a6    has no lease any more on shop/east
  145.534 a6    holds open shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
