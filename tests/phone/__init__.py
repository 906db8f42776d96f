"""Phones and boards made of real parts: Debian's adbd, adb and sshd in a private network namespace."""
