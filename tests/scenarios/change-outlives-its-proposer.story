# Whoever changes the voters dies at each step; somebody else carries it on.
mesh 5 voters 3 regions 2 standing-by
app shop database
start
----

# Two sets are in force, and only the proposer knows.
voters a1 replace a2 a6
until voters 2 within 10s
kill a1
until voters 3 within 60s
run 3s
----

# In the middle of carrying the registers over.
restart a1
run 5s
voters a1 replace a4 a7
until voters 4 within 10s
run 0.06s
kill a1
until voters 5 within 60s
run 3s
----

# One set is in force again, and only the proposer knows.
restart a1 a2
run 5s
voters a1 add a2
until voters 7 within 30s
kill a1
run 5s
state
----
