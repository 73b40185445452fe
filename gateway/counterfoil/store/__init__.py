"""
The only place with SQL: named queries, migrations, the group writer, the embedded database.
"""
