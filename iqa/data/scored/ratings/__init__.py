"""Several ratings of a picture: read, averaged, their raters judged, and how far their means can be trusted."""
