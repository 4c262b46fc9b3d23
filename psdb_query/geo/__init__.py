"""Geometry for queries: GeoJSON and legacy shapes, on the sphere and in the plane.

`sphere` has the arithmetic of points and arcs, `loops` polygons, `geojson` reads stored and
queried shapes, `regions` says what a query looks for, `parse` reads the operators' operands and
`match` compiles them. Edges on the sphere are great circles, as in MongoDB.
"""
