// Writes 3,000,000 bytes and exits at once, as many tools do: a pipe would lose most of them.
process.stdout.write("x".repeat(3000000));
process.exit(0);
