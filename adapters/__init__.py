"""Everything that touches the world, one small class per port and technology."""
