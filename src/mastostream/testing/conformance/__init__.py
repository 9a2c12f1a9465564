"""What every adapter of a port keeps: test classes to subclass, one module a port."""
