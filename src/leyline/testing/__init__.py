"""For the tests of those who use or extend leyline; nothing else in leyline imports it.

``leyline.testing.ledgers``: What every ledger promises, as tests to run on your own. Needs pytest.
"""
