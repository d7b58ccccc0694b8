"""The served page: the same board as in a notebook, for people who have no notebook. Needs the extra `serve`; acts go through the client."""
