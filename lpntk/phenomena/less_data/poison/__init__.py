"""Does the kernel find samples that harm, and does removing them help?"""
