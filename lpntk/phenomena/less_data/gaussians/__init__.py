"""Need training samples be a fair sample? Three Gaussians in the plane, of which half is kept in biased ways."""
