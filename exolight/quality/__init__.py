"""Whether a picture can be analysed at all, and which part of it.

``assessment`` the verdict and its limits; ``burned_in`` what was written over the picture; ``film`` where there is none; ``greys`` what is clipped or drawn;
``spectrum`` power spectra of patches: emptiness and drift; ``focus`` the blur that explains them. NumPy and OpenCV only.
"""

from exolight.quality.assessment import Quality, Verdict, assess

__all__ = ["Quality", "Verdict", "assess"]
