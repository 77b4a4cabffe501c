"""The products of a layer's gradients, in the form that is cheapest for it."""
