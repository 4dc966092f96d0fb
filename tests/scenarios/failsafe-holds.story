# The voters' majority is gone for a minute: the guards of all candidates give their word, and the primary stays open.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stop a1 a2 a3
run 60s
state
----
  100.000 a1    is stopped (and a2 a3)
  103.071 a6    abstains: hears no majority of voters (and a7 a4 a5)
  105.647 a6    holds open by the candidates' word shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

continue a1 a2 a3
run 15s
state
----
  160.000 a1    goes on (and a2 a3)
  160.000 a1    abstains: was not scheduled in time (and a2 a3)
  160.572 a6    abstains: is an observer (and a7)
  160.573 a6    holds open shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
