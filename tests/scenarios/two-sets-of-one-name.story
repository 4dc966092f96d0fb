# The member at west belongs to another set by the same name, and leads that: of two sets none is followed, and no primary is asked
# to step down. Nothing moves.
mesh 5 voters 3 regions
app shop engine=mongodb
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

another-set shop west
run 20s
why a1 shop
switchover a1 shop west
run 5s
state
----
  100.000 *     shop/west/db leads another set of that name
  120.000 a1    answers: Refused("db has a primary at west and one of another set at east")
a1 on shop: db has a primary at west and one of another set at east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, primary, timeline 1
