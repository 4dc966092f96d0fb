# SCENARIOS 16: a third of all that goes to the active stack is lost, for an hour. It is slow, and it is not dead: nothing
# moves, whoever sees a look fail looks again.
mesh 5 voters 5 regions
app shop database
app blog
start
----
blog: epoch 1 apply idle, active east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

lossy 0.3 shop east
lossy 0.3 blog east
run 3600s
state
----
blog: epoch 1 apply idle, active east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams
