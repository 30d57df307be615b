"""Every operation of the API, described once: arguments in, a `minoots.call.Call` out. No I/O."""
