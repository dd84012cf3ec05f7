"""What a frozen backbone makes possible: features and maps that are kept, heads that are trained anew."""
