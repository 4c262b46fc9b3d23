"""`$jsonSchema`: MongoDB's dialect of JSON Schema draft 4, compiled to rules.

`schema.parse_schema` gives a `Schema` that validates values and explains what they break.
"""
