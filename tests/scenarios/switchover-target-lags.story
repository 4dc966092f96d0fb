# A planned move to a standby that receives nothing from its primary is refused before anything is closed.
mesh 5 voters 3 regions
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

sever shop west
run 3s
switchover a3 shop west
run 20s
state
why a3 shop
----
  103.089 a3    answers: Refused("west cannot be moved to without loss: db receives nothing from its primary")
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1
a3 on shop: east stands: nobody whose word counts sees it down
