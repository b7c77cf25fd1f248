#!/bin/sh
# cluster_tests.sh PYTHON MARKS: the tests of tests/cluster with these marks: first those that need a whole cluster to
# themselves, of which there may be none, then the others, two modules at a time.
set -eu
python=$1
marks=$2
"$python" -m pytest tests/cluster -m "($marks) and alone" || [ $? = 5 ] # 5: there are none with these marks
"$python" -m pytest tests/cluster --numprocesses=2 --dist=loadfile -m "($marks) and not alone"
