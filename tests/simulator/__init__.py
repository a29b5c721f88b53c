"""What only tests need of the simulator: everyday life, a judge, and a gateway without sockets in virtual time."""
