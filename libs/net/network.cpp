// Address ranges come here.
